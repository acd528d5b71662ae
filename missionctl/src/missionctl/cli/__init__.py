"""The command line. `app` says what there is; each command's work is in a module that is read when it is used."""
