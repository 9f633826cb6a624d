"""The beat and the composition: configuration, scheduler, processes, command line."""
