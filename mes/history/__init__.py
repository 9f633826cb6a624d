"""Values of tags over time: appended, read, thinned out."""
