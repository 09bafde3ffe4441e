"""An object store with generations, and the only code that spells where things are in it."""
