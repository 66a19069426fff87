"""What the report shows of the video track's studies."""

from smp.tracks.base import Exhibit

EXHIBITS = (
    Exhibit("exp050_mvp", "steps.csv", "MVP, step by step"),
    Exhibit("exp054_video_ideas", "ideas.csv", "Ideas, each on the same posts"),
    Exhibit("exp058_video_months", "months.csv", "The last months, each predicted from earlier ones"),
    Exhibit("exp058_video_months", "months.png", "The last months, each predicted from earlier ones."),
)
