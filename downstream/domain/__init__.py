"""What an order is: pure records and rules; imports the standard library and pydantic only."""
