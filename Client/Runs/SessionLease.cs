using Fleet.Grains;
using Fleet.Silo.Cluster;

namespace Fleet.Client.Runs;

/// <summary>A generator's session: what its clients hold is freed once it is not renewed for so long.</summary>
internal static class SessionLease
{
    public static readonly TimeSpan Length = TimeSpan.FromSeconds(30);

    /// <summary>Renews until the run is over.</summary>
    public static async Task RenewAsync(ISessionGrain session, CancellationToken over)
    {
        using var timer = new PeriodicTimer(Length / 3);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
                await RenewAsync(session);
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    public static Task<long> CloseAsync(ISessionGrain session) =>
        SharedRun.PatientlyAsync(session.Close, CancellationToken.None, patience: Patience.Answer);

    private static async Task RenewAsync(ISessionGrain session)
    {
        try
        {
            await session.Renew();
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            return; // Its silo died or stands still; the lease outlasts two such answers.
        }
    }
}
