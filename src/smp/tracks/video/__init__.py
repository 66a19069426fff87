"""The video track: SMPD-Video (TikTok), judged by the mean absolute percentage error."""
