"""The field engineer's set: what is wrong, since when, what to do. Each verb is a module, loaded when it is used."""
