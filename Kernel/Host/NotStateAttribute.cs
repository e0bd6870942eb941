namespace Fleet.Kernel.Host;

/// <summary>
/// A field that no later step depends on: constant in its world, or a trace of how the state was reached.
/// </summary>
/// <remarks>
/// Two states that differ only in such fields are one to whoever recognises states. Marking a field that a step reads
/// loses schedules in silence, so none is marked for convenience. Source: docs/decisions/0107.
/// </remarks>
[AttributeUsage(AttributeTargets.Field)]
public sealed class NotStateAttribute : Attribute;
