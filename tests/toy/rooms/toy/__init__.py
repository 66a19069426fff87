"""A track that only the tests know: messages that are passed on, and how often within a day and within a week."""
