"""The marking station: content, symbol and the handshake with the marking device."""
