using System.Globalization;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Client.Faults;

/// <summary>The fault <c>db-kill</c>: every process of the private server is killed at once, and it is started again
/// a while later.</summary>
/// <remarks>
/// Only a server that Fleet started is ever touched. Whenever a kill ends, the server is up again: what was recorded
/// has to be stored. Concurrency: any thread; kills never overlap.
/// </remarks>
internal sealed class DatabaseKills(PrivateServer server, Action<string> said)
{
    /// <summary>How long the server stays away unless the plan says <c>for</c>.</summary>
    private static readonly TimeSpan AwayDefault = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim _one = new(1, 1);

    /// <param name="over">Ends the time that the server is away.</param>
    /// <exception cref="StorageException">The server did not come up again.</exception>
    public async Task<FaultRecord> KillAsync(Fault fault, CancellationToken over)
    {
        await _one.WaitAsync(CancellationToken.None);
        try
        {
            var atNs = MonotonicNs.Now;
            await server.KillAsync(CancellationToken.None);
            var away = fault.For ?? AwayDefault;
            said(string.Create(
                CultureInfo.InvariantCulture,
                $"fault db-kill: the server is killed, and away for {away.TotalSeconds:0.#} s"));
            await LiveFaults.PauseAsync(away, over);
            await server.UpAsync(CancellationToken.None);
            var downNs = MonotonicNs.Now - atNs;
            said(string.Create(
                CultureInfo.InvariantCulture, $"fault db-kill: the server is back after {downNs / 1e9:0.0} s"));
            return new(
                atNs, "db-kill", "private server", string.Join(' ', fault.Expect),
                string.Create(
                    CultureInfo.InvariantCulture, $"all processes killed, back after {downNs / 1_000_000} ms"));
        }
        finally
        {
            _one.Release();
        }
    }
}
