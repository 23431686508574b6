"""What every part needs of the operating system: errors, files, progress, signals."""
