"use strict";
// Before anything is drawn: the theme that the reader chose last, where the browser lets a page remember one.
try {
  const theme = localStorage.getItem("unposed-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* a browser may keep no storage for files */ }
document.documentElement.classList.add("script");
