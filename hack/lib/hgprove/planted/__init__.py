"""Plants known bugs in copies of the operator, one at a time, and shows which test says what is wrong."""
