using System.Globalization;
using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>What is left of a run whose process and fleet are gone: another process can go on with it.</summary>
/// <param name="Seat">Of the process that goes on: its name and its session are new.</param>
/// <param name="Fleet">Of a run in one process; where silos are processes, the database knows what they left.</param>
/// <param name="Seats">Of the earlier processes of this generator's share.</param>
/// <param name="SiloGeneration">Of the silos that are started next, from 1: a name is used once in a run.</param>
/// <param name="Spools">What the earlier processes recorded; they stay until the run is sealed.</param>
internal sealed record CutOffRun(
    int Seat, ShareBefore Share, LostFleet? Fleet, IReadOnlyList<int> Seats, int SiloGeneration,
    IReadOnlyList<string> Spools)
{
    private const string SiloPrefix = "silo-";

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
        var all = await writer.Reader.ProcessesAsync(ct);
        var processes = all.Where(process => IsOfFirst(process, request.IsEmbedded)).ToList();
        var objects = writer.Reader.Objects;
        var fleet = request.IsEmbedded ? new LostFleet(objects.Name) : null;
        var clients = (request.Scenario.Load.Clients - 1 + request.Generators) / request.Generators;
        var share = await ShareBefore.ReadAsync(spools, writer, processes, clients, fleet, ct);
        if (!share.IsExact)
            throw new StorageException(
                $"What the run {request.Name} recorded before it was cut off is not stored once and whole; its spool "
                + "stays where it is, and fleet resume --finish judges what there is.");

        return new(
            SeatOf(request.IsEmbedded, processes.Count), share, fleet,
            [.. processes.Select(process => RunNames.NumberOf(process.Name))],
            1 + all.Where(process => process.Name.StartsWith(SiloPrefix, StringComparison.Ordinal))
                .Select(process => GenerationOf(process.Name)).DefaultIfEmpty(0).Max(),
            spools);
    }

    /// <summary>Whether a process was the first generator of the run, or went on in its place.</summary>
    /// <remarks>Seats of a run of several processes: those of the generators, from them upwards those that follow one
    /// of the others, and from the last downwards those that go on for the first.</remarks>
    public static bool IsOfFirst(ProcessInfo process, bool isEmbedded) => RunNames.NumberOf(process.Name) is var number
        && (isEmbedded ? number > 0 : number == 1 || number > RunNames.SeatsMax - RunNames.GeneratorsMax);

    private static int SeatOf(bool isEmbedded, int before) => isEmbedded ? RunNames.GeneratorsMax + before
        : before < RunNames.GeneratorsMax ? RunNames.SeatsMax + 1 - before
        : throw new UsageException(
            $"The run was gone on with {RunNames.GeneratorsMax - 1} times; accepted: fleet resume --finish.");

    private static int GenerationOf(string silo) =>
        silo.IndexOf('.', StringComparison.Ordinal) is > 0 and var dot
        && int.TryParse(silo.AsSpan(dot + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var generation)
            ? generation : 1;

    /// <summary>Removes the spools: all of what they held is stored and sealed.</summary>
    public void Forget()
    {
        foreach (var spool in Spools)
            Directory.Delete(spool, recursive: true);
    }
}
