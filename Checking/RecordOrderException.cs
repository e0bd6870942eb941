namespace Fleet.Checking;

/// <summary>Records of one object did not come in (gen, seq) order: whoever fed them has to sort them first.</summary>
public sealed class RecordOrderException(string message) : Exception(message);
