"""From trained weights to nets: which channels stay, and how they make up for the rest."""
