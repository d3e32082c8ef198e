//! Stock against fused, forward and backward.
