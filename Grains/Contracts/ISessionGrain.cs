namespace Fleet.Grains;

/// <summary>One generator process under its lease; key = name of the session, such as <c>session:gen-01</c>.</summary>
[Alias("fleet.ISessionGrain")]
public interface ISessionGrain : IGrainWithStringKey
{
    /// <summary>Begins the lease.</summary>
    /// <param name="number">Number of the session in the run: the id of its name in the run's object table.</param>
    /// <param name="lease">Without a renewal for this long the session lapses: it is barred, then reaped.</param>
    /// <param name="hosts">Every host on which it may hold memory.</param>
    [Alias("Open")]
    ValueTask Open(string run, int number, TimeSpan lease, [Immutable] string[] hosts);

    /// <summary>Extends the lease; false when the session has lapsed or was closed.</summary>
    /// <remarks>An answer that is not there in time is asked for again, well within the lease.</remarks>
    [Alias("Renew")]
    [ResponseTimeout("00:00:05")]
    ValueTask<bool> Renew();

    /// <summary>Whether it is open; one that was lost with its silo is begun again by it.</summary>
    [Alias("Look")]
    ValueTask<bool> Look();

    /// <summary>Ends the session: bars it and frees what it still holds.</summary>
    /// <returns>Allocations freed; 0 when it had lapsed.</returns>
    [Alias("Close")]
    [ResponseTimeout("00:10:00")]
    ValueTask<long> Close();
}
