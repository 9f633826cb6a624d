"""The process image and everything that crosses it: tags, rings, messages, journal, devices.

This room moves values and messages faithfully and reports how that went. It decides nothing.
"""
