"""Why rules lose or make relevance: what the ledger says of a node that did."""

UNSEEN = (
    "where a receptive field (or row) holds nothing positive, its relevance has nowhere to go; "
    "signed_inputs='abs' reads the negative too"
)
CONSTANT_PART = "what belongs to a constant part (a class token, padding, a mask) stays there"
SET_TO_ZERO = "what was set to zero, or is a sum of nothing, keeps its relevance"
OUTSIDE = "what is read outside the image keeps its relevance"
CANCELLED = "a sum over both signs comes close to zero, and its share cannot be told from rounding"
