"""A language model beside the image encoder that it sees through, on the very same pictures."""
