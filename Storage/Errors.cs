namespace Fleet.Storage;

/// <summary>The world said no, surely: nothing was changed. The message is one sentence meant for a person.</summary>
/// <remarks>Made at the edge of storage; the command line prints the message and exits with 64.</remarks>
public class StorageException : Exception
{
    public StorageException(string message)
        : base(message)
    {
    }

    public StorageException(string message, Exception inner)
        : base(message, inner)
    {
    }
}

/// <summary>A server that was there stopped answering while it was read: the same may be asked again once it is
/// back.</summary>
public sealed class StoreLostException(string message, Exception inner) : StorageException(message, inner);

/// <summary>It may or may not have happened: read back before doing it again.</summary>
public sealed class OutcomeUnknownException(string message, Exception inner) : Exception(message, inner);

/// <summary>Fleet itself is wrong: a count or an order that must hold does not.</summary>
public sealed class StorageInvariantException(string message) : Exception(message);
