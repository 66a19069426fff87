"""The image track: SMPD-Image (Flickr), ranked by Spearman's rho and judged by the mean absolute error."""
