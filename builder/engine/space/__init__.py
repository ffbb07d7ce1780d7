"""How much room the store takes: shown, limited, and given back."""
