"""What is broken on purpose: a module for each kind of fire, with a judge who looks afterwards."""
