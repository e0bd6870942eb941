using System.Text.Json;

// CA1416: file modes exist on Unix only; so do the processes that a local cluster signals.
#pragma warning disable CA1416

namespace Fleet.Client.Cluster;

/// <summary>What a directory knows of the cluster that was started in it.</summary>
/// <param name="Store">The store's address with what it takes to reach it: the file is its owner's alone.</param>
/// <param name="OwnsStore">A private server within the directory, started and stopped with the cluster.</param>
public sealed record ClusterState(string Cluster, string Store, bool OwnsStore, IReadOnlyList<StartedSilo> Silos)
{
    private const string FileName = "cluster.json";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <exception cref="UsageException">There is none, or it cannot be read.</exception>
    public static ClusterState Read(string directory)
    {
        var path = Path.Combine(directory, FileName);
        try
        {
            return JsonSerializer.Deserialize<ClusterState>(File.ReadAllText(path), Json)!;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UsageException(
                $"There is no cluster in {ForeignText.Quote(directory)}; accepted: a directory in which "
                + "fleet cluster up started one.");
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be read; accepted: the file that fleet cluster up wrote.");
        }
    }

    public static bool IsIn(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Written whole or not at all, readable by its owner alone.</summary>
    public void Write(string directory)
    {
        var path = Path.Combine(directory, FileName);
        var written = path + ".part";
        File.Delete(written);
        using (var file = new FileStream(written, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            JsonSerializer.Serialize(file, this, Json);
        }

        File.Move(written, path, overwrite: true);
    }
}

/// <summary>A silo process that was started here.</summary>
public sealed record StartedSilo(string Name, ProcessMark Process);
