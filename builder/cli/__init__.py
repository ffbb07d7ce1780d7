"""The command line: Typer is the one definition of it; nothing else in the project prints."""
