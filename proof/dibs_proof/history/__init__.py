"""What clients asked and were told, and whether it can be true."""
