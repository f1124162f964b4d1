"""What is done to a stack that stands, a module a suite: a dict LATER, name -> function of the Stack."""
