"""Images and video to the rows of a table, in memory or as a job that can be resumed."""
