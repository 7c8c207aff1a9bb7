"""One module an analysis: a store and parameters in, a result out."""
