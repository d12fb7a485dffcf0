"""What others computed, brought into a store: tables, arrays and heads. No model, no torch."""
