using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>What is left of a run whose process and fleet are gone: another process can go on with it.</summary>
/// <param name="Seat">Of the process that goes on: its name and its session are new.</param>
/// <param name="Spools">What the earlier processes recorded; they stay until the run is sealed.</param>
internal sealed record CutOffRun(int Seat, ShareBefore Share, LostFleet Fleet, IReadOnlyList<string> Spools)
{
    /// <summary>How the run was asked for, so that it can be asked for again.</summary>
    /// <returns>Null for a run that does not say it.</returns>
    public static SharedPlan? PlanOf(RunInfo run)
    {
        try
        {
            using var json = JsonDocument.Parse(run.Settings);
            return json.RootElement.TryGetProperty("plan", out var plan) && plan.GetString() is { } text
                ? SharedRun.FromJson(text) : null;
        }
        catch (JsonException)
        {
            return null; // Of another version.
        }
    }

    /// <summary>Stores what the earlier processes left behind, and reads what the store then holds.</summary>
    /// <exception cref="StorageException">Something that they acknowledged is missing, or there twice.</exception>
    public static async Task<CutOffRun> ReadAsync(IRunWriter writer, RunRequest request, CancellationToken ct)
    {
        var spools = RunRecovery.SpoolsOf(request.Store, request.Name);
        var processes = (await writer.Reader.ProcessesAsync(ct)).Where(
            process => process.Name.StartsWith("gen-", StringComparison.Ordinal)).ToList();
        var objects = writer.Reader.Objects;
        var fleet = new LostFleet(objects.Name);
        var share = await ShareBefore.ReadAsync(
            spools, writer, processes, request.Scenario.Load.Clients, fleet, ct);
        if (!share.IsExact)
            throw new StorageException(
                $"What the run {request.Name} recorded before it was cut off is not stored once and whole; its spool "
                + "stays where it is, and fleet resume --finish judges what there is.");

        return new(RunNames.GeneratorsMax + processes.Count, share, fleet, spools);
    }

    /// <summary>Removes the spools: all of what they held is stored and sealed.</summary>
    public void Forget()
    {
        foreach (var spool in Spools)
            Directory.Delete(spool, recursive: true);
    }
}
