"""What a concurrent stream costs our client on this machine, and from it the plan for very many of them."""
