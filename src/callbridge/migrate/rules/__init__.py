"""One file per rule, named after its code; `table` lists them."""
