"""Images on the command line: requests, waiting for jobs, files of results and previews in the terminal."""
