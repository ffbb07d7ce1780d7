"""Inside the steps of builds that were: their files, with their environment."""
