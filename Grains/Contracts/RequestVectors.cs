using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>The requests of one vector call, in order.</summary>
/// <remarks>
/// Types of their own, since the generated code of a call writes an array element by element, whatever codec is
/// registered for the array: docs/decisions/0129. The caller leaves the requests alone once they were sent.
/// </remarks>
public interface IRequestVector<TSelf, T>
    where TSelf : struct, IRequestVector<TSelf, T>
    where T : struct
{
    T[] Elements { get; }

    static abstract TSelf Of(T[] elements);
}

/// <inheritdoc cref="IRequestVector{TSelf, T}"/>
public readonly record struct AllocRequests(AllocRequest[] Elements) : IRequestVector<AllocRequests, AllocRequest>
{
    public static AllocRequests Of(AllocRequest[] elements) => new(elements);
}

/// <inheritdoc cref="IRequestVector{TSelf, T}"/>
public readonly record struct FreeRequests(FreeRequest[] Elements) : IRequestVector<FreeRequests, FreeRequest>
{
    public static FreeRequests Of(FreeRequest[] elements) => new(elements);
}

/// <inheritdoc cref="IRequestVector{TSelf, T}"/>
public readonly record struct AccessRequests(AccessRequest[] Elements) : IRequestVector<AccessRequests, AccessRequest>
{
    public static AccessRequests Of(AccessRequest[] elements) => new(elements);
}
