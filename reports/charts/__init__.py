"""Charts as numbers: what is drawn and tabulated of loads, worked out before anything is drawn."""
