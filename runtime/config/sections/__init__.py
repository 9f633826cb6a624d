"""The sections of ``cell.yaml`` as models: what may stand where."""
