"""Images from disk: decoded, undistorted, resampled."""
