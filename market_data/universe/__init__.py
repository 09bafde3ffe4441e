"""What a venue listed on a day, and which tick files are therefore expected."""
