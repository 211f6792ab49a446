"""From images and video to the rows of a table: read ahead, find, cut, encode, write."""
