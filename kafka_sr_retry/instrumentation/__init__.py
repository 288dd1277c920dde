"""Listeners: what becomes of the events. One module for each back end."""
