"""The fused GPU kernels of the grid field, in Triton; its interpreter (TRITON_INTERPRET=1) runs them on a CPU."""
