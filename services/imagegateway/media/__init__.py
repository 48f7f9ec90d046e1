"""Plain HTTP beside the API: signed media, health, the API's description and a page to try it."""
