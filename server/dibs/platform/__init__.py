"""What operating systems do each in their own way: the only package that asks which one this is.

Each module stands for one need, and has one implementation for each platform that needs its own.
"""
