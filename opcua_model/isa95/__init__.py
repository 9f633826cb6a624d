"""Job orders after ISA-95 (OPC 10031-4), on the services of the MES."""
