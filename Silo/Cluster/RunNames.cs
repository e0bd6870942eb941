using Fleet.Kernel.History;

namespace Fleet.Silo.Cluster;

/// <summary>Names that every process of a run knows under the same numbers.</summary>
/// <remarks>
/// Requests carry the number of a session and not its name; a table that begins with these names reads it alike
/// everywhere.
/// </remarks>
public static class RunNames
{
    public const string Generator = "gen-1";

    public const string Session = "session:" + Generator;

    /// <summary>Returns a table that begins with the names; the generator's number in the run is 1.</summary>
    public static ObjectTable NewTable()
    {
        var objects = new ObjectTable();
        objects.Intern(Generator);
        objects.Intern(Session);
        return objects;
    }
}
