//! From a real history file to what is shown.
